// Usage: openblas_peer [--threads N] [--samples N] [--seconds S] [NAME...]
// OpenBLAS at the products of gradus_peers, called directly. Products of
// batches are left out: CBLAS has no call for them.
#include <cblas.h>

#include <cstring>
#include <string>
#include <vector>

#include "sampling.h"
#include "workload.h"

int main(int argc, char** argv) {
  peers::Sampling sampling;
  int threads = gradus::threads();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--threads" && ++i < argc) {
      threads = std::atoi(argv[i]);
    } else if (word == "--samples" && ++i < argc) {
      sampling.samples = std::atoi(argv[i]);
    } else if (word == "--seconds" && ++i < argc) {
      sampling.seconds = std::atof(argv[i]);
    } else {
      int m = 0, n = 0, k = 0, end = 0;
      char a = 'n', b = 'n';
      const bool known =
          std::sscanf(word.c_str(), "product/%c%c/%dx%dx%d%n", &a, &b, &m, &n, &k, &end) == 5;
      if (!known || static_cast<std::size_t>(end) != word.size()) continue;
      openblas_set_num_threads(threads);
      const gradus::Tensor x = peers::normal({m, k}, 1), y = peers::normal({k, n}, 2);
      gradus::Tensor product = gradus::empty({m, n});
      float* const c = product.mutable_data<float>();
      const auto call = [&, p = x.data<float>(), q = y.data<float>()] {
        cblas_sgemm(CblasRowMajor, a == 't' ? CblasTrans : CblasNoTrans,
                    b == 't' ? CblasTrans : CblasNoTrans, m, n, k, 1, p, a == 't' ? m : k, q,
                    b == 't' ? k : n, 0, c, n);
      };
      call();
      const std::vector<double> check = peers::probe(product);
      peers::print_line(word, "openblas", threads, peers::measure(sampling, call), check);
    }
  }
}
