#!/usr/bin/env bash
# setup.sh: everything that building and running assay needs, on Debian 12 (x86_64).
#
#   Debian packages   compiler, CMake, OpenMPI, HDF5, SQLite, ... (needs root; otherwise the line to type is printed)
#   .deps/libtorch    LibTorch 2.11.0, out of the torch wheel
#   .deps/cuda        the CUDA libraries that LibTorch loads: two small ones, or all of them on a machine with a GPU
#   .deps/clip        CLIP's BPE merges
#   .deps/elpv        the ELPV data set (2,624 images of solar cells)
#
# --tests (tools/test.sh): also Slurm's daemons, of which a test starts its own cluster of one node. Without a
# slurm.conf their services do not start.
#
# Idempotent: what is there is left alone. Interrupted, it goes on with the next missing part. Two to four minutes
# on an empty machine with a fast line, 0.2 s when nothing is to be done. Downloads are pinned by version and SHA-256.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
deps=$PWD/.deps

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 2; }
trap 'fail "stopped at line $LINENO; run it again, it goes on from there"' ERR

[ "$(uname -m)" = x86_64 ] || fail "x86_64 is needed (the LibTorch wheel is for it), this is $(uname -m)"

packages=(
  g++ cmake ninja-build ccache pkg-config ca-certificates procps unzip python3-pip
  libopenmpi-dev openmpi-bin libhdf5-dev hdf5-tools libsqlite3-dev sqlite3
  libtomlplusplus-dev libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
  libjpeg62-turbo-dev libpng-dev libtiff-dev libstb-dev zlib1g-dev libssl-dev libxxhash-dev
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev
)

install_packages() {
  command -v dpkg-query >/dev/null ||
    { say "not a Debian: please install what these packages hold: ${packages[*]}"; return; }
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    say "${#missing[@]} Debian packages are missing and you are not root. Type, then run this again:"
    printf '  sudo apt-get update && sudo apt-get install -y --no-install-recommends %s\n' "${missing[*]}" >&2
    exit 2
  fi
  say "installing ${#missing[@]} Debian packages (one to three minutes)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o DPkg::Lock::Timeout=300 update
  apt-get -qq -o DPkg::Lock::Timeout=300 -y --no-install-recommends install "${missing[@]}" >/dev/null
}

# Slurm for the tests of --launcher slurm: those are skipped where it cannot be had.
install_slurm() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
  ! { command -v srun && [ -x /usr/sbin/slurmctld ] && [ -x /usr/sbin/munged ]; } >/dev/null || return 0
  say "installing Slurm for its tests (half a minute)"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -y --no-install-recommends install \
    munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins >/dev/null 2>&1 ||
    say "Slurm could not be installed: the tests of --launcher slurm will be skipped"
}

# wheel NAME VERSION SHA256 [PYTHON]: downloads a wheel into .deps/download and prints its path. pip checks the digest.
wheel() {
  local folder=$deps/download/$1
  mkdir -p "$folder"
  printf '%s==%s --hash=sha256:%s\n' "$1" "$2" "$3" > "$folder/pin.txt"
  python3 -m pip --disable-pip-version-check download -q --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux2010_x86_64 --platform manylinux1_x86_64 --platform any \
    -d "$folder" -r "$folder/pin.txt" >&2
  printf '%s\n' "$folder"/*.whl
}

# part NAME PIN COMMAND...: runs COMMAND in an empty folder that becomes .deps/NAME once COMMAND has succeeded.
part() {
  local name=$1 pin=$2
  shift 2
  [ "$(cat "$deps/$name/.pin" 2>/dev/null)" != "$pin" ] || return 0
  rm -rf "$deps/$name.partial"
  mkdir -p "$deps/$name.partial"
  (cd "$deps/$name.partial" && "$@")
  printf '%s\n' "$pin" > "$deps/$name.partial/.pin"
  rm -rf "${deps:?}/$name"
  mv "$deps/$name.partial" "$deps/$name"
  rm -rf "$deps/download"
}

unpack_libtorch() {
  say "LibTorch 2.11.0: 530 MB to download, 1 GB unpacked (half a minute on a fast line)"
  local archive
  archive=$(wheel torch 2.11.0 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a)
  # The bundled fmt 12 would shadow Debian's fmt 9.
  unzip -q "$archive" 'torch/lib/*' 'torch/include/*' -x 'torch/include/fmt/*'
}

has_gpu() { [ -e /dev/nvidia0 ] || [ -e /dev/nvidiactl ]; }

small_cuda="
nvidia-cuda-runtime 13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti 13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
full_cuda="$small_cuda
nvidia-cuda-crt 13.0.88 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cublas 13.1.0.3 ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cuda-nvrtc 13.0.88 ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-cudnn-cu13 9.19.0.56 d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cufft 12.0.0.61 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
nvidia-cufile 1.15.1.6 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
nvidia-curand 10.4.0.35 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
nvidia-cusolver 12.0.4.66 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
nvidia-cusparse 12.6.3.3 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
nvidia-cusparselt-cu13 0.8.0 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
nvidia-nccl-cu13 2.28.9 e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
nvidia-nvjitlink 13.0.88 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
nvidia-nvshmem-cu13 3.4.5 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80
nvidia-nvtx 13.0.85 4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"

# unpack_cuda PINS: the shared libraries and headers of CUDA wheels, in lib/ and include/.
unpack_cuda() {
  local name version digest
  mkdir -p lib include
  while read -r name version digest; do
    [ -n "$name" ] || continue
    say "$name $version"
    unzip -q -o "$(wheel "$name" "$version" "$digest")" -d unpacked
  done <<< "$1"
  find unpacked -name '*.so*' -exec cp -a -t lib {} +
  find unpacked -type d -name include -exec cp -a -n {}/. include/ \;
  rm -rf unpacked
}

unpack_merges() {
  say "CLIP's BPE merges (1.4 MB)"
  unzip -q -j "$(wheel clip-anytorch 2.6.0 ebc0afed243851b9dc7e16ab8afb665237e8a5838986e97cd99f123ae4ce94ce)" \
    clip/bpe_simple_vocab_16e6.txt.gz
  # The digest of spec: every CLIP repository ships this very file.
  echo '933b7abbbbde62c36f02f0e6ccde464f  bpe_simple_vocab_16e6.txt.gz' | md5sum -c --quiet
  echo '924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a  bpe_simple_vocab_16e6.txt.gz' |
    sha256sum -c --quiet
}

unpack_elpv() {
  say "ELPV images (91 MB)"
  unzip -q "$(wheel elpv-dataset 1.0.0.post1 85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c)" \
    'elpv_dataset/data/*'
  mv elpv_dataset/data/* .
  rm -r elpv_dataset
}

# A LibTorch that the site provides: any folder of CMAKE_PREFIX_PATH with its headers.
has_own_libtorch() {
  local folder
  for folder in ${CMAKE_PREFIX_PATH//[:;]/ }; do
    for sub in include torch/include; do
      [ ! -e "$folder/$sub/ATen/ATen.h" ] || { say "LibTorch: the one in $folder"; return 0; }
    done
  done
  return 1
}

install_packages
[ "${1:-}" != --tests ] || install_slurm
mkdir -p "$deps"
exec 9> "$deps/.lock"
flock 9
part clip "clip-anytorch-2.6.0" unpack_merges
if ! CMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH:-} has_own_libtorch; then
  part libtorch "torch-2.11.0" unpack_libtorch
  if has_gpu; then
    part cuda "full-13.0.2-crt" unpack_cuda "$full_cuda"
  elif [ "$(cat "$deps/cuda/.pin" 2>/dev/null)" != full-13.0.2-crt ]; then
    part cuda "small-13.0.2" unpack_cuda "$small_cuda"
  fi
fi
part elpv "elpv-dataset-1.0.0.post1" unpack_elpv
say "ready (.deps: $(du -sh "$deps" | cut -f1), $(du -sh "$deps/libtorch" 2>/dev/null | cut -f1) of it LibTorch)"
