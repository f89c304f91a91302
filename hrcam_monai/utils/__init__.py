"""What every room may use: files, tables, processes."""
