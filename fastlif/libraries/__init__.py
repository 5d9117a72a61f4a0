"""What knows SpikingJelly, snnTorch and Norse: their models and neurons on fastlif, their names for arguments."""
