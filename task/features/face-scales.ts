// What each layer's features of the face network are multiplied by, so that the mean squared
// distance between a face and its bicubic enlargement from a quarter is what it is in pixels; the
// mean absolute distance is then 0.8 to 1.9 times that of pixels. Measured on 122 faces of 256
// pixels, cut from studio photographs: node dist/bench/feature-scales.js FACES-FOLDER

type Scales = Readonly<Record<'before' | 'after', number>>;

/** By layer, before and after its activation. */
export const faceScales: Readonly<Record<string, Scales>> = {
  conv32_down: { before: 0.25, after: 0.328 },
  conv32_1: { before: 0.129, after: 0.16 },
  conv32_2: { before: 0.0894, after: 0.117 },
  conv32_3: { before: 0.0865, after: 0.0991 },
  conv64_down: { before: 0.141, after: 0.171 },
  conv64_1: { before: 0.14, after: 0.158 },
  conv64_2: { before: 0.119, after: 0.147 },
  conv64_3: { before: 0.109, after: 0.153 },
  conv128_down: { before: 0.243, after: 0.283 },
  conv128_1: { before: 0.217, after: 0.244 },
  conv128_2: { before: 0.215, after: 0.229 },
  conv256_down: { before: 0.142, after: 0.21 },
  conv256_1: { before: 0.179, after: 0.2 },
  conv256_2: { before: 0.198, after: 0.217 },
  conv256_down_out: { before: 0.231, after: 0.31 },
};
