// Internal to tensor/: whether freed memory is kept for reuse.
#pragma once

// Under AddressSanitizer nothing is cached, so that a use after release is seen.
#if defined(__SANITIZE_ADDRESS__)
#define GRADUS_CACHE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRADUS_CACHE 0
#endif
#endif
#ifndef GRADUS_CACHE
#define GRADUS_CACHE 1
#endif
