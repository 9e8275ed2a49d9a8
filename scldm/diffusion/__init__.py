"""L5: the noise path, the conditioned UNet, the sampler, and stage 2's loop."""
