// The frozen networks by whose features pictures may be compared, and the layers of each, from the
// picture on. What they compute is in task/features/, what they need is in shared/weights/.

export const featureNetworkNames = ['face', 'vgg19'] as const;
export type FeatureNetworkName = (typeof featureNetworkNames)[number];

/** The layers of each network, the first one first. */
export const featureLayers: Readonly<Record<FeatureNetworkName, readonly string[]>> = {
  face: [
    ...['conv32_down', 'conv32_1', 'conv32_2', 'conv32_3'],
    ...['conv64_down', 'conv64_1', 'conv64_2', 'conv64_3'],
    ...['conv128_down', 'conv128_1', 'conv128_2'],
    ...['conv256_down', 'conv256_1', 'conv256_2', 'conv256_down_out'],
  ],
  vgg19: [
    ...['conv1_1', 'conv1_2', 'conv2_1', 'conv2_2'],
    ...['conv3_1', 'conv3_2', 'conv3_3', 'conv3_4'],
    ...['conv4_1', 'conv4_2', 'conv4_3', 'conv4_4'],
    ...['conv5_1', 'conv5_2', 'conv5_3', 'conv5_4'],
  ],
};

/** The SRGAN paper's names: the last convolution before the second and the fifth pooling. */
const otherNames: Readonly<Record<FeatureNetworkName, Readonly<Record<string, string>>>> = {
  face: {},
  vgg19: { vgg22: 'conv2_2', vgg54: 'conv5_4' },
};

/** All names that a spec may use for a network's layers. */
export function layerNames(network: FeatureNetworkName): string[] {
  return [...featureLayers[network], ...Object.keys(otherNames[network])];
}

/** The layer's own name; undefined when the network has no such layer. */
export function findLayer(network: FeatureNetworkName, given: string): string | undefined {
  const others = otherNames[network];
  const name = Object.hasOwn(others, given) ? others[given] : given;
  return featureLayers[network].includes(name) ? name : undefined;
}

/** The smallest crop of which the layer leaves a pixel; a multiple of 16. */
export function smallestCrop(network: FeatureNetworkName, layer: string): number {
  if (network === 'vgg19' || layer.startsWith('conv32')) return 16;
  if (!layer.startsWith('conv256')) return 32;
  return layer === 'conv256_down_out' ? 112 : 64;
}
