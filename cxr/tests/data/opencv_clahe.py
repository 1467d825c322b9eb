"""CLAHE of 224x224 grey images by OpenCV, for the comparison in tests/real_images.rs.

python opencv_clahe.py CLIP_LIMIT TILES_X TILES_Y < images.raw > equalised.raw
Needs opencv-python-headless and numpy (scripts/venv.sh reference pins them).
"""
import sys

import cv2
import numpy as np

clip_limit, tiles_x, tiles_y = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, 224, 224)
clahe = cv2.createCLAHE(clip_limit, (tiles_x, tiles_y))
for image in images:
    sys.stdout.buffer.write(clahe.apply(image).tobytes())
