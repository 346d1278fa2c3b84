// The whole library. In the order of its layers, each using only those before it:
//
//   kernels/   arithmetic on raw memory: formulas, instruction sets, the thread pool
//   tensor/    data: dtypes, shapes, storage, the Tensor, random numbers, files, the ledger
//   autograd/  the graph, every operation (ops.h), map() for formulas of your own, probes
//   nn/        layers, optimisers, distributions, flows, diffusion, data loading
#pragma once

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/formula.h"

#include "gradus/tensor/allocator.h"
#include "gradus/tensor/device.h"
#include "gradus/tensor/dtype.h"
#include "gradus/tensor/error.h"
#include "gradus/tensor/ledger.h"
#include "gradus/tensor/npy.h"
#include "gradus/tensor/npz.h"
#include "gradus/tensor/random.h"
#include "gradus/tensor/safetensors.h"
#include "gradus/tensor/shape.h"
#include "gradus/tensor/tensor.h"

#include "gradus/autograd/check.h"
#include "gradus/autograd/graph.h"
#include "gradus/autograd/graphed.h"
#include "gradus/autograd/linalg.h"
#include "gradus/autograd/map.h"
#include "gradus/autograd/ops.h"
#include "gradus/autograd/probe.h"
#include "gradus/autograd/transforms.h"

#include "gradus/nn/attention.h"
#include "gradus/nn/chain.h"
#include "gradus/nn/conv.h"
#include "gradus/nn/data.h"
#include "gradus/nn/diffusion.h"
#include "gradus/nn/distributions.h"
#include "gradus/nn/divergence.h"
#include "gradus/nn/dropout.h"
#include "gradus/nn/embedding.h"
#include "gradus/nn/flows.h"
#include "gradus/nn/gan.h"
#include "gradus/nn/init.h"
#include "gradus/nn/linear.h"
#include "gradus/nn/mixture.h"
#include "gradus/nn/mlp.h"
#include "gradus/nn/module.h"
#include "gradus/nn/multivariate_normal.h"
#include "gradus/nn/norm.h"
#include "gradus/nn/optim.h"
#include "gradus/nn/schedule.h"
#include "gradus/nn/transformer.h"
