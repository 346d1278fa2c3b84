#include "gradus/nn/multivariate_normal.h"

#include "gradus/autograd/linalg.h"
#include "gradus/nn/domain.h"

namespace gradus::distributions {
namespace {

constexpr double half_log_2pi = 0.91893853320467274178;

Tensor diagonal(const Tensor& m) { return sum(m * eye(m.size(-1), -1, m.dtype(), m.device()), -1); }

Tensor log_volume(const Tensor& factor) { return sum(log(diagonal(factor)), -1); }

// The axes before the vector.
Shape batch_of(const Tensor& vectors) {
  Shape shape = vectors.shape();
  shape.erase(shape.size() - 1);
  return shape;
}

// L^-1 x of each vector x.
Tensor whiten(const Tensor& factor, const Tensor& x) {
  return linalg::triangular_solve(factor, x.unsqueeze(-1)).squeeze(-1);
}

}  // namespace

Tensor MultivariateNormal::factor() const {
  require(mean.defined() && mean.dim() >= 1, "MultivariateNormal: mean must be vectors (..., n)");
  require(covariance.defined() != scale_tril.defined(),
          "MultivariateNormal: takes covariance or scale_tril, got ",
          covariance.defined() ? "both" : "neither");
  const Tensor& given = covariance.defined() ? covariance : scale_tril;
  const std::int64_t n = mean.size(-1);
  require(given.dim() >= 2 && given.size(-1) == n && given.size(-2) == n,
          "MultivariateNormal: ", covariance.defined() ? "covariance" : "scale_tril",
          " must be (..., ", n, ", ", n, "), got ", given.shape());
  if (covariance.defined()) return linalg::cholesky(covariance);
  const Tensor lower = tril(scale_tril);
  detail::positive("MultivariateNormal: the diagonal of scale_tril", diagonal(lower.detach()), {});
  return lower;
}

Tensor MultivariateNormal::rsample(Generator& generator, const Shape& shape) const {
  const Tensor l = factor();
  Shape each =
      broadcast_shapes("MultivariateNormal.rsample", batch_of(mean), batch_of(diagonal(l)));
  each.push_back(mean.size(-1));
  const Shape full = detail::draw_shape("MultivariateNormal.rsample", shape, each);
  const Tensor noise = randn(full, generator, mean.dtype(), mean.device());
  return mean + matmul(l, noise.unsqueeze(-1)).squeeze(-1);
}

Tensor MultivariateNormal::log_prob(At x) const {
  const Tensor l = factor();
  require(x->dim() >= 1 && x->size(-1) == mean.size(-1),
          "MultivariateNormal.log_prob: takes vectors (..., ", mean.size(-1), "), got ",
          x->shape());
  const Tensor z = whiten(l, *x - mean);
  const double constant = half_log_2pi * static_cast<double>(mean.size(-1));
  return -0.5 * sum(square(z), -1) - log_volume(l) - constant;
}

Tensor MultivariateNormal::entropy() const {
  const Tensor volume = log_volume(factor());
  const Shape batch =
      broadcast_shapes("MultivariateNormal.entropy", batch_of(mean), volume.shape());
  return expand(volume, batch) + (half_log_2pi + 0.5) * static_cast<double>(mean.size(-1));
}

Tensor mean(const MultivariateNormal& d) {
  const Shape shape =
      broadcast_shapes("MultivariateNormal", d.mean.shape(), diagonal(d.factor()).shape());
  return expand(d.mean, shape);
}
Tensor covariance(const MultivariateNormal& d) {
  const Tensor l = d.factor();
  return d.covariance.defined() ? d.covariance : matmul(l, transpose(l, -1, -2));
}
Tensor variance(const MultivariateNormal& d) {
  const Tensor each = diagonal(covariance(d));
  return expand(each, broadcast_shapes("MultivariateNormal", d.mean.shape(), each.shape()));
}

Divergence kl(const MultivariateNormal& p, const MultivariateNormal& q) {
  const Tensor a = p.factor(), b = q.factor();
  require(a.size(-1) == b.size(-1), "kl_divergence: vectors of ", a.size(-1), " and of ",
          b.size(-1));
  const Tensor ratio = sum(square(linalg::triangular_solve(b, a)), {-2, -1});
  const Tensor shift = sum(square(whiten(b, p.mean - q.mean)), -1);
  const double n = static_cast<double>(a.size(-1));
  return {0.5 * (ratio + shift - n) + log_volume(b) - log_volume(a), {}};
}

}  // namespace gradus::distributions
