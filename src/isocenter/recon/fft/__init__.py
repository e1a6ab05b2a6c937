# SPDX-License-Identifier: MIT
"""Fourier transforms of many lines in single precision, compiled by numba for the processor at hand.

Why it exists
    scipy's transform is built for the oldest processors, goes over the whole array once for each axis, and again for each
    factor before and after it. This one does sixteen lines at a time in vectors, takes lines from where they lie, pads, cuts
    and multiplies on the way: two to three times as fast, and no copies. Numbers and when scipy is used instead:
    docs/decisions/0014-fourier-transform-of-our-own.md.

What it does
    ``plan`` says how a length is taken apart and holds all factors (``Plan``, the only kind). ``transform`` does one axis of
    an array, or lines in any order, on some threads: what ``recon.fourier`` calls. ``loops`` are the compiled parts of it;
    ``loops.stages`` alone is what the convolution of ``recon.nufft`` is built on. ``butterflies`` and ``moves`` are what
    loops are made of, written as vectors with ``lanes``.

How it works
    Textbook decimation in frequency, in place: W. M. Gentleman and G. Sande, AFIPS Fall Joint Conference 29:563 (1966). A
    transform of r s samples is s transforms of r samples, s apart (a butterfly), each result times its twiddle factor, and
    then r transforms of s samples. In numpy, ``x.reshape(r, s)``, ``np.fft.fft(axis=0)``, times
    ``exp(-2 pi i j k / (r s))``, and the same again in each row. Frequencies end up in another order, which the plan knows
    and which whoever takes the values out undoes. The alternative, Stockham's, sorts as it goes but needs twice the memory:
    256 samples of sixteen lines then no longer fit the first cache (0.95 instead of 0.7 us for each sixteen).
    There is no inverse: exchange real and imaginary parts, transform, exchange again.

Which sizes
    Those with no prime factor but 2, 3, 5 and 7: butterflies of 8, 4, 2, 3, 5 and 7. Eights are the fastest and come last,
    where they need no twiddle factors. Another radix is one line in ``butterflies``, one in ``plan`` and one in
    ``loops.stages``; odd ones write themselves.

How to change it
    Compiled code is cached on the disk. numba compares the file that a loop stands in, not what it is made of, so loops here
    and those outside that use these vectors are made with ``lanes.loop``: a change in any file of this package compiles
    them anew. ``plan`` needs no numba; the other modules load it, so import them only where ``recon.compiled`` says so or
    where numba is needed anyway.
"""
