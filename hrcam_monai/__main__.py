"""`python -m hrcam_monai`."""

from hrcam_monai.cli import app

if __name__ == "__main__":
    app(prog_name="python -m hrcam_monai")
