"""Preparation of real data: from recordings, videos and pictures to a packed store.

`sources` lists what there is, `item` says what one clip is; `speech` and `face` look into it,
`clip` makes its samples, `shards` runs over all of them and `finish` closes the store.
"""
