"""L3: stage 1, collaborative contrastive pre-training; training of face attribute networks."""
