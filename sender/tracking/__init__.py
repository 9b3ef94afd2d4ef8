"""Open and click tracking: links are written so that following them is noticed, and a pixel is added."""
