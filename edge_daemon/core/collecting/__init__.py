"""Which parts' pictures are worth keeping for the next training, and what they let us estimate.

reasons     why a part is worth a picture, from what the models say of a frame
choice      a draw for each part, and with which probability it is kept
quota       whose oldest picture goes, so that no reason takes the place of a rarer one
hidden      what is never written
bare        does a picture show a part that no model finds
alike       is a picture nearly the same as one that is kept already
split       which of them train, and which test
estimate    precision and recall in production, by inverse probability
"""
