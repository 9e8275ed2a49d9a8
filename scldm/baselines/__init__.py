"""Earlier methods, trained on the same split: regression (Speech2Face) and conditional GANs."""
