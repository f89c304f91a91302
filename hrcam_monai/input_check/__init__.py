"""Is a scan like those that its network was trained on?"""

from hrcam_monai.input_check.check import CheckInputd, check_file, write_input_check
from hrcam_monai.input_check.descriptors import describe
from hrcam_monai.input_check.familiar import Familiar

__all__ = ["CheckInputd", "Familiar", "check_file", "describe", "write_input_check"]
