"""Preparation of real data: from recordings, videos and pictures to a packed store.

`sources` lists what there is, `item` says what one clip is; `speech` and `face` look into it,
`clip` makes its samples, `shards` writes those of a few clips, `run` all of them and the store.
"""
