"""Dictionary transforms that the bundle needs and MONAI lacks."""

from hrcam_monai.transforms.augment import RandFoldsd
from hrcam_monai.transforms.lesions import BrainDepthd, RandLesionsd
from hrcam_monai.transforms.load import LoadMaskd, LoadScand, is_tissue, split_reading
from hrcam_monai.transforms.read_prediction import LabelMapd, ReadPredictiond
from hrcam_monai.transforms.slices import RandSlicesd, SliceWeightsd, slice_weights

__all__ = [
    "BrainDepthd",
    "LabelMapd",
    "LoadMaskd",
    "LoadScand",
    "RandFoldsd",
    "RandLesionsd",
    "RandSlicesd",
    "ReadPredictiond",
    "SliceWeightsd",
    "is_tissue",
    "slice_weights",
    "split_reading",
]
