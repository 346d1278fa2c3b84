#include "gradus/nn/transformer.h"

#include "gradus/nn/init.h"

namespace gradus::nn {
namespace {

At at(const Tensor& t, Here here) { return At(t, here.file, here.line); }

Embedding small_embedding(std::int64_t rows, std::int64_t size, Generator& generator, DType dtype) {
  Embedding e;
  e.weight = normal({rows, size}, 0, 0.02, generator, dtype);
  e.weight.requires_grad_();
  return e;
}

}  // namespace

TransformerBlock::TransformerBlock(std::int64_t size, std::int64_t heads, Generator& generator,
                                   TransformerBlockOptions o)
    : attention_norm(size, o.dtype),
      attention(size, heads, generator, {.key_heads = o.key_heads, .dtype = o.dtype}),
      mlp_norm(size, o.dtype) {
  const std::int64_t inner = o.mlp_size ? o.mlp_size : 4 * size;
  up = Linear(size, inner, generator, {.dtype = o.dtype});
  down = Linear(inner, size, generator, {.dtype = o.dtype});
}

Tensor TransformerBlock::operator()(At x, const AttentionOptions& options,
                                    KeyValueCache* cache) const {
  const Here here = x.here;
  const Tensor seen = attention(at(attention_norm(x), here), options, cache);
  const Tensor y = add(x, seen);
  const Tensor inner = gelu(at(up(at(mlp_norm(at(y, here)), here)), here));
  return add(at(y, here), down(at(inner, here)));
}

Transformer::Transformer(TransformerOptions o, Generator& generator) {
  require(o.vocabulary > 0 && o.context > 0 && o.size > 0 && o.layers > 0,
          "Transformer: vocabulary, context, size and layers must be positive: ", o.vocabulary,
          ", ", o.context, ", ", o.size, ", ", o.layers);
  tokens = small_embedding(o.vocabulary, o.size, generator, o.dtype);
  positions = small_embedding(o.context, o.size, generator, o.dtype);
  for (std::int64_t i = 0; i < o.layers; ++i)
    blocks.emplace_back(o.size, o.heads, generator,
                        TransformerBlockOptions{.key_heads = o.key_heads, .dtype = o.dtype});
  norm = LayerNorm(o.size, o.dtype);
  head = Linear(o.size, o.vocabulary, generator, {.bias = false, .dtype = o.dtype});
}

Tensor Transformer::embed(At ids, std::int64_t from) const {
  require(ids->dim() == 2, "Transformer: ids must be (batch, time), got ", ids->shape());
  const std::int64_t stop = from + ids->size(1), context = positions.weight.size(0);
  require(from >= 0 && stop <= context, "Transformer: positions ", from, " to ", stop,
          " lie outside of the context of ", context);
  const Tensor places = positions.weight.slice(0, from, stop, 1, ids.here);
  return add(at(tokens(ids), ids.here), places);
}

Tensor Transformer::decode(At embedded, Cache* cache) const {
  if (cache && cache->empty()) cache->resize(blocks.size());
  require(!cache || cache->size() == blocks.size(), "Transformer: a cache of ",
          cache ? cache->size() : 0, " blocks for a model of ", blocks.size());
  Tensor x = *embedded;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    x = blocks[i](at(x, embedded.here), {.causal = true}, cache ? &(*cache)[i] : nullptr);
  return head(at(norm(at(x, embedded.here)), embedded.here));
}

Tensor Transformer::operator()(At ids) const { return decode(at(embed(ids), ids.here)); }

Tensor Transformer::operator()(At ids, Cache& cache) const {
  const std::int64_t seen = cache.empty() ? 0 : cache[0].length();
  return decode(at(embed(ids, seen), ids.here), &cache);
}

}  // namespace gradus::nn
