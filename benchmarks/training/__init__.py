"""What trains networks: data, networks, the loop, checkpoints. It knows no experiment."""
