"""Is a scan like those that its network was trained on?"""

from hrcam_monai.input_check.check import CHECK, CheckInputd, check_file, is_unlike, write_input_check
from hrcam_monai.input_check.descriptors import describe
from hrcam_monai.input_check.familiar import Familiar

__all__ = ["CHECK", "CheckInputd", "Familiar", "check_file", "describe", "is_unlike", "write_input_check"]
