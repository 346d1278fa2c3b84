// Attention with several heads, and its memory for decoding step by step.
#pragma once

#include "gradus/autograd/ops.h"
#include "gradus/nn/linear.h"

namespace gradus::nn {

// Keys and values of the steps so far, each (batch, key heads, time, size); at first without a
// value.
struct GRADUS_API KeyValueCache {
  Tensor keys, values;

  std::int64_t length() const { return keys.defined() ? keys.size(2) : 0; }
  void append(const Tensor& k, const Tensor& v, Here here = Here::now());
};

struct MultiHeadAttentionOptions {
  std::int64_t key_heads = 0;  // dividing the heads; 0: as many as heads
  bool bias = true;
  DType dtype = DType::f32;
};

// Self-attention, (batch, time, size) -> (batch, time, size): linear maps to queries, keys and
// values of each head, attention, and a linear map of the heads side by side. The heads divide the
// size. (Vaswani et al., 2017.)
struct GRADUS_API MultiHeadAttention {
  Linear query, key, value, out;
  std::int64_t heads = 1, key_heads = 1;

  MultiHeadAttention() = default;
  MultiHeadAttention(std::int64_t size, std::int64_t heads, Generator& generator,
                     MultiHeadAttentionOptions options = {});
  // With a cache x is what follows on the steps in it: it is appended, and attended to as a whole.
  Tensor operator()(At x, const AttentionOptions& options = {},
                    KeyValueCache* cache = nullptr) const;
  static void each(auto& self, auto&& f) {
    f("query", self.query);
    f("key", self.key);
    f("value", self.value);
    f("out", self.out);
  }
};

}  // namespace gradus::nn
