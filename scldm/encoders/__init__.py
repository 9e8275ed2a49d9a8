"""L2: the speech encoder, the face encoder and its mirrored decoder, face attribute networks."""
