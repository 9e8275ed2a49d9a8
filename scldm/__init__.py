"""SCLDM: a face for a voice. Speech-conditioned latent diffusion with a face prior."""

__version__ = "0.1.0"
