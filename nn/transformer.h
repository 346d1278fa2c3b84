// Transformers: the block, and a language model of causal blocks.
#pragma once

#include "gradus/nn/attention.h"
#include "gradus/nn/embedding.h"
#include "gradus/nn/norm.h"

namespace gradus::nn {

struct TransformerBlockOptions {
  std::int64_t mlp_size = 0;   // 0: four times the size
  std::int64_t key_heads = 0;  // 0: as many as heads
  DType dtype = DType::f32;
};

// x + attention(norm(x)), then x + mlp(norm(x)) with a gelu between two linear maps,
// (batch, time, size) -> the same. An encoder's layer as it is, a decoder's with {.causal = true}.
struct GRADUS_API TransformerBlock {
  LayerNorm attention_norm;
  MultiHeadAttention attention;
  LayerNorm mlp_norm;
  Linear up, down;

  TransformerBlock() = default;
  TransformerBlock(std::int64_t size, std::int64_t heads, Generator& generator,
                   TransformerBlockOptions options = {});
  Tensor operator()(At x, const AttentionOptions& options = {},
                    KeyValueCache* cache = nullptr) const;
  static void each(auto& self, auto&& f) {
    f("attention_norm", self.attention_norm);
    f("attention", self.attention);
    f("mlp_norm", self.mlp_norm);
    f("up", self.up);
    f("down", self.down);
  }
};

struct TransformerOptions {
  std::int64_t vocabulary = 256, context = 64, size = 64, heads = 4, layers = 2;
  std::int64_t key_heads = 0;  // 0: as many as heads
  DType dtype = DType::f32;
};

// A causal language model: embeddings of tokens and of positions, blocks, a last norm, logits.
// Embeddings start normal with standard deviation 0.02.
struct GRADUS_API Transformer {
  using Cache = std::vector<KeyValueCache>;  // of each block; empty before the first step

  Embedding tokens, positions;
  std::vector<TransformerBlock> blocks;
  LayerNorm norm;
  Linear head;

  Transformer() = default;
  Transformer(TransformerOptions options, Generator& generator);
  // ids (batch, time) -> logits (batch, time, vocabulary): at t those of the token at t + 1.
  Tensor operator()(At ids) const;
  // The same for ids that follow on what the cache has seen; they are appended to it.
  Tensor operator()(At ids, Cache& cache) const;

  // Its two halves. ids, the first of which is at position `from`, -> (batch, time, size).
  Tensor embed(At ids, std::int64_t from = 0) const;
  // (batch, time, size) -> logits.
  Tensor decode(At embedded, Cache* cache = nullptr) const;

  static void each(auto& self, auto&& f) {
    f("tokens", self.tokens);
    f("positions", self.positions);
    f("blocks", self.blocks);
    f("norm", self.norm);
    f("head", self.head);
  }
};

}  // namespace gradus::nn
