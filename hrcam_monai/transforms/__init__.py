"""Dictionary transforms that the bundle needs and MONAI lacks."""

from hrcam_monai.transforms.augment import RandFoldsd, RandSulcid
from hrcam_monai.transforms.lesions import BrainDepthd, RandLesionsd
from hrcam_monai.transforms.load import LoadMaskd, LoadScand, is_tissue, split_reading
from hrcam_monai.transforms.read_prediction import LabelMapd, ReadPredictiond
from hrcam_monai.transforms.slices import NeighbourSlicesd, RandSlicesd, SliceWeightsd, slice_weights

__all__ = [
    "BrainDepthd",
    "LabelMapd",
    "LoadMaskd",
    "LoadScand",
    "NeighbourSlicesd",
    "RandFoldsd",
    "RandLesionsd",
    "RandSlicesd",
    "RandSulcid",
    "ReadPredictiond",
    "SliceWeightsd",
    "is_tissue",
    "slice_weights",
    "split_reading",
]
