"""What a person uses: the `cxr` command and what it prints."""
