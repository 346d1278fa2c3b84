#include "gradus/nn/attention.h"

namespace gradus::nn {

void KeyValueCache::append(const Tensor& k, const Tensor& v, Here here) {
  keys = keys.defined() ? concat({keys, k}, 2, here) : k;
  values = values.defined() ? concat({values, v}, 2, here) : v;
}

MultiHeadAttention::MultiHeadAttention(std::int64_t size, std::int64_t count, Generator& generator,
                                       MultiHeadAttentionOptions options)
    : heads(count), key_heads(options.key_heads ? options.key_heads : count) {
  require(size > 0 && heads > 0 && size % heads == 0, "MultiHeadAttention: ", heads,
          " heads do not divide the size ", size);
  require(key_heads > 0 && heads % key_heads == 0, "MultiHeadAttention: ", heads,
          " heads do not divide into groups of ", key_heads, " key heads");
  const LinearOptions linear{.bias = options.bias, .dtype = options.dtype};
  const std::int64_t key_size = size / heads * key_heads;
  query = Linear(size, size, generator, linear);
  key = Linear(size, key_size, generator, linear);
  value = Linear(size, key_size, generator, linear);
  out = Linear(size, size, generator, linear);
}

Tensor MultiHeadAttention::operator()(At x, const AttentionOptions& options,
                                      KeyValueCache* cache) const {
  require(x->dim() == 3, "MultiHeadAttention: needs (batch, time, size), got ", x->shape());
  const Here here = x.here;
  const auto split = [&](const Tensor& t, std::int64_t n) {
    return t.reshape({t.size(0), t.size(1), n, t.size(2) / n}, here).transpose(1, 2, here);
  };
  const Tensor q = split(query(x), heads);
  Tensor k = split(key(x), key_heads), v = split(value(x), key_heads);
  if (cache) {
    cache->append(k, v, here);
    k = cache->keys;
    v = cache->values;
  }
  const Tensor y = attention(At(q, here.file, here.line), k, v, options);
  return out(At(y.transpose(1, 2, here).reshape(x->shape(), here), here.file, here.line));
}

}  // namespace gradus::nn
