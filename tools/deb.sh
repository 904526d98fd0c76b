#!/bin/sh
# `deb.sh VERSION` makes build/latent_VERSION_ARCHITECTURE.deb: what `make install` installs, in
# Debian's places, with the packages that the libraries in it were linked with as dependencies.
set -eu
version=$1
architecture=$(dpkg --print-architecture)
stage=build/deb/latent
rm -rf build/deb
mkdir -p "$stage/DEBIAN" build/deb/debian

make -s install DESTDIR="$PWD/$stage" PREFIX=/usr DOCDIR=/usr/share/doc/latent \
  LIBDIR="/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/lua/5.4"
mv "$stage/usr/share/doc/latent/LICENSE" "$stage/usr/share/doc/latent/copyright"
find "$stage" -name '*.so' -exec strip --strip-unneeded {} +

# dpkg-shlibdeps wants the look of a source package.
: >build/deb/debian/control
depends=$(cd build/deb && find latent -name '*.so' -exec dpkg-shlibdeps -O {} + 2>/dev/null |
  sed -n 's/^shlibs:Depends=//p')
cat >"$stage/DEBIAN/control" <<END
Package: latent
Version: $version
Architecture: $architecture
Section: interpreters
Priority: optional
Maintainer: $(git config user.name 2>/dev/null || echo latent) <$(git config user.email 2>/dev/null || echo latent@localhost)>
Installed-Size: $(du -sk "$stage/usr" | cut -f1)
Depends: lua5.4, $depends
Recommends: gnuplot-nox | gnuplot, lua-argparse
Description: tensors, automatic differentiation and autoencoders for Lua 5.4
 A C core (tensors, reverse-mode automatic differentiation, convolution kernels)
 with layers, optimisers, data sets and figures in Lua on top.
END
dpkg-deb --root-owner-group --build "$stage" "build/latent_${version}_$architecture.deb"
