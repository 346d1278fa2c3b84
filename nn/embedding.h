// Rows of a table, picked by number.
#pragma once

#include "gradus/nn/module.h"
#include "gradus/tensor/random.h"

namespace gradus::nn {

// Numbers (...) in [0, rows), i64 -> (..., size). The table starts standard normal.
struct GRADUS_API Embedding {
  Tensor weight;  // (rows, size)

  Embedding() = default;
  Embedding(std::int64_t rows, std::int64_t size, Generator& generator, DType dtype = DType::f32);
  Tensor operator()(At ids) const;
  static void each(auto& self, auto&& f) { f("weight", self.weight); }
};

}  // namespace gradus::nn
