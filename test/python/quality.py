"""PSNR and SSIM by scikit-image of pairs of 8-bit RGB pictures, on the luma, 4 pixels cut away.

stdin: [{"width": w, "height": h, "picture": base64, "original": base64}, ...]
stdout: [{"psnr": dB, "ssim": of 1}, ...]
"""

import base64
import json
import sys

import numpy as np
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def luma(pair, name):
    pixels = np.frombuffer(base64.b64decode(pair[name]), dtype=np.uint8)
    picture = pixels.reshape(pair["height"], pair["width"], 3)
    return rgb2ycbcr(picture)[4:-4, 4:-4, 0]


def quality(pair):
    picture, original = luma(pair, "picture"), luma(pair, "original")
    return {
        "psnr": float(peak_signal_noise_ratio(original, picture, data_range=255)),
        "ssim": float(
            structural_similarity(
                original,
                picture,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        ),
    }


json.dump([quality(pair) for pair in json.load(sys.stdin)], sys.stdout)
