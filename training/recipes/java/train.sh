#!/usr/bin/env bash
# Makes the shipped `java` model: fetches its corpora from Debian 12's source packages and
# trains in four steps, on two CPU cores in some four hours.
#
#   training/recipes/java/train.sh WORK_FOLDER
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/lists" && cd "$1"

sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > sources.sources
apt=(apt-get -o Dir::Etc::sourcelist="$PWD/sources.sources" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$PWD/lists")
"${apt[@]}" update
for package in libcommons-lang3-java libcommons-codec-java libcommons-collections4-java \
    libcommons-compress-java libcommons-exec-java libcommons-net-java libcommons-pool2-java guava-libraries \
    jackson-core jackson-databind mockito; do
    # Of some packages the mirror lacks the packaging; the original is what counts.
    "${apt[@]}" source --download-only --tar-only "$package" || true
done
sha256sum --check "$recipes/sha256sums"
for archive in *.orig.tar.*; do tar -xf "$archive" --wildcards '*.java'; done

foretype train commons-lang-rel-commons-lang-3.12.0 --include '*.java' \
    --out lang --language java --config "$recipes/1-lang.toml"
foretype train commons-codec-rel-commons-codec-1.15 commons-collections-commons-collections-4.2 \
    commons-compress-1.22-src commons-exec-1.3-src commons-net-rel-commons-net-3.9.0 \
    commons-pool-rel-commons-pool-2.11.1 guava-31.1/guava --include '*.java' \
    --out broad --language java --base lang/model --config "$recipes/2-broad.toml"
foretype train commons-lang-rel-commons-lang-3.12.0 --include '*.java' \
    --out again --language java --base broad/model --config "$recipes/3-lang.toml"
foretype train commons-lang-rel-commons-lang-3.12.0 jackson-core-jackson-core-2.14.1 \
    jackson-databind-jackson-databind-2.14.0 mockito-2.23.0 --include '*.java' \
    --out java --language java --base again/model --config "$recipes/4-java.toml"
