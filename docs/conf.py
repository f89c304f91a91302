"""The documents as a site: `make docs`. They stay where they lie; this and index.md only bring them together."""

import importlib.metadata

project = "HR-CAM for MONAI"
release = importlib.metadata.version("hrcam-monai")
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md", "data_manifests/README.md", "bundle/docs/README.md"]
html_theme = "furo"
html_title = project
myst_heading_anchors = 4
