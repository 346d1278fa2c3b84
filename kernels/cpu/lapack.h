// LAPACK, loaded when it is first asked for: one that starts threads and takes memory for them
// (OpenBLAS) costs a program without linear algebra nothing.
#pragma once

#include <cstddef>

namespace gradus::cpu {

// As Fortran has them: everything by address, and texts pass their length at the end.
template <class T>
struct Lapack {
  void (*getrf)(const int* m, const int* n, T* a, const int* lda, int* pivots, int* info);
  void (*potrf)(const char* uplo, const int* n, T* a, const int* lda, int* info, std::size_t);
  void (*trtrs)(const char* uplo, const char* trans, const char* diagonal, const int* n,
                const int* k, const T* a, const int* lda, T* b, const int* ldb, int* info,
                std::size_t, std::size_t, std::size_t);
  void (*syevd)(const char* job, const char* uplo, const int* n, T* a, const int* lda, T* w,
                T* work, const int* lwork, int* iwork, const int* liwork, int* info, std::size_t,
                std::size_t);
  void (*gesdd)(const char* job, const int* m, const int* n, T* a, const int* lda, T* s, T* u,
                const int* ldu, T* vt, const int* ldvt, T* work, const int* lwork, int* iwork,
                int* info, std::size_t);
};

// The system's. Throws Error where there is none.
template <class T>
const Lapack<T>& lapack();

// Of OpenBLAS, where that is the LAPACK; null elsewhere.
struct BlasThreads {
  void (*set)(int);
  int (*get)();
};
const BlasThreads& blas_threads();

}  // namespace gradus::cpu
