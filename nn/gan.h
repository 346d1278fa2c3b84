// Losses of generative adversarial networks, from the discriminator's logits l: D = sigmoid(l),
// -log D = softplus(-l) and -log(1 - D) = softplus(l), so nothing overflows and no gradient is lost
// to rounding. Real and generated batches may differ in size; every loss is a number, and small is
// good for whoever minimises it.
//
// Data and samples are equally likely (Goodfellow et al., 2014, with the factor 1/2 of the prior):
//
//   V = 1/2 E_real[log D] + 1/2 E_fake[log(1 - D)],  max_D V = JSD(data, generated) - log 2
#pragma once

#include "gradus/autograd/ops.h"
#include "gradus/autograd/transforms.h"
#include "gradus/tensor/random.h"

namespace gradus::gan {

GRADUS_API Tensor value(At real_logits, At fake_logits);  // V

//                  discriminator minimises                generator minimises
// minimax          -V                                     1/2 E[log(1 - D)], the part of V it moves
// non_saturating   -V                                     -1/2 E[log D]
// least_squares    1/2 E_r[(l - 1)^2] + 1/2 E_f[l^2]      1/2 E[(l - 1)^2]   (Mao et al., 2017)
// hinge            E_r[relu(1 - l)] + E_f[relu(1 + l)]    -E[l]              (Lim and Ye, 2017)
// wasserstein      E_f[l] - E_r[l]                        -E[l]        (Arjovsky et al., 2017)
enum class Loss { minimax, non_saturating, least_squares, hinge, wasserstein };
GRADUS_API Tensor discriminator_loss(At real_logits, At fake_logits, Loss loss);
GRADUS_API Tensor generator_loss(At fake_logits, Loss loss);

// E[(|d critic(x) / dx| - target)^2] at points x drawn uniformly between each pair of real and fake
// samples (Gulrajani et al., 2017); its own gradient goes through the second derivative. The first
// axis counts the samples, and critic(x) has one number for each. At a gradient of 0 the norm's
// derivative is 0.
struct PenaltyOptions {
  double target = 1;
};
GRADUS_API Tensor gradient_penalty(const TensorFunction& critic, At real, At fake,
                                   Generator& generator, PenaltyOptions options = {});

// D*(x) = p(x) / (p(x) + q(x)), the discriminator that maximises V, from densities or probabilities
// p of the data and q of the generator; 1/2 where both are 0. And its logit, log p - log q.
GRADUS_API Tensor optimal_discriminator(At p, At q);
GRADUS_API Tensor optimal_logits(At log_p, At log_q);

// V + log 2: what these logits show of the Jensen-Shannon divergence, which it never exceeds in
// expectation and equals for the optimal discriminator.
GRADUS_API Tensor jensen_shannon_bound(At real_logits, At fake_logits);

}  // namespace gradus::gan
