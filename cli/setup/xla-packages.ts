// The plugins of XLA's that PyPI has, for each kind of device: which wheels make one, and where
// the shared object lies in them. Versions are those that Lockstep is tried with; NVIDIA's
// libraries are the ones that the extra "with-cuda" of jax-cuda12-plugin and jax-cuda13-plugin
// names.

import type { XlaProvider } from '../../worker/engine/xla/plugin.js';

/** What `setup xla` can install. */
export const xlaKinds = ['cpu', 'cuda12', 'cuda13', 'rocm'] as const;
export type XlaKind = (typeof xlaKinds)[number];

export interface XlaPackages {
  readonly provider: XlaProvider;
  /** Requirements for pip, the plugin's own first. */
  readonly requirements: readonly string[];
  /** Path of the shared object in the unpacked wheels. */
  readonly plugin: string;
  /** Of all downloads together. */
  readonly megabytes: number;
}

/** The wheels for a kind of device. */
export const xlaPackages: Readonly<Record<XlaKind, XlaPackages>> = {
  cpu: {
    provider: 'cpu',
    requirements: ['lammps-jax-pjrt-cpu==0.11.2'],
    plugin: 'lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so',
    megabytes: 63,
  },
  cuda12: {
    provider: 'cuda',
    requirements: [
      'jax-cuda12-pjrt==0.12.0.1',
      'nvidia-cublas-cu12==12.9.3.13',
      'nvidia-cuda-cupti-cu12==12.9.79',
      'nvidia-cuda-nvcc-cu12==12.9.86',
      'nvidia-cuda-nvrtc-cu12==12.9.86',
      'nvidia-cuda-runtime-cu12==12.9.79',
      'nvidia-cudnn-cu12==9.28.0.42',
      'nvidia-cufft-cu12==11.4.1.4',
      'nvidia-cusolver-cu12==11.7.5.82',
      'nvidia-cusparse-cu12==12.5.10.65',
      'nvidia-nccl-cu12==2.32.3',
      'nvidia-nvjitlink-cu12==12.9.86',
      'nvidia-nvshmem-cu12==3.8.0',
    ],
    plugin: 'jax_plugins/xla_cuda12/xla_cuda_plugin.so',
    megabytes: 2900,
  },
  cuda13: {
    provider: 'cuda',
    requirements: [
      'jax-cuda13-pjrt==0.12.0.1',
      'nvidia-cublas==13.10.0.20',
      'nvidia-cuda-cupti==13.5.25',
      'nvidia-cuda-nvcc==13.5.37',
      'nvidia-cuda-nvrtc==13.5.37',
      'nvidia-cuda-runtime==13.5.37',
      'nvidia-cudnn-cu13==9.28.1.4',
      'nvidia-cufft==12.5.0.14',
      'nvidia-cusolver==12.4.1.2',
      'nvidia-cusparse==12.9.4.2',
      'nvidia-nccl-cu13==2.32.3',
      'nvidia-nvjitlink==13.5.37',
      'nvidia-nvshmem-cu13==3.8.0',
      'nvidia-nvvm==13.5.37',
    ],
    plugin: 'jax_plugins/xla_cuda13/xla_cuda_plugin.so',
    megabytes: 2500,
  },
  // AMD's own libraries come with ROCm, not from PyPI.
  rocm: {
    provider: 'rocm',
    requirements: ['jax-rocm7-pjrt==0.12.0'],
    plugin: 'jax_plugins/xla_rocm7/xla_rocm_plugin.so',
    megabytes: 150,
  },
};
