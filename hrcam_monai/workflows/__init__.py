"""The bundle's configs, models and package: found, checked and run."""
