#!/usr/bin/env bash
# Makes the shipped `java` model: fetches its corpora from Debian 12's source packages and
# trains in fourteen steps, on two CPU cores in some nineteen hours; then learns what to point at.
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
    jackson-core jackson-databind mockito \
    libcommons-jexl3-java libcommons-logging-java commons-email libcommons-dbcp-java \
    libcommons-digester-java commons-vfs commons-configuration libjoda-time-java \
    httpcomponents-client httpcomponents-core libslf4j-java libtruth-java javapoet \
    libokhttp-java mina2 maven ant apache-log4j2 \
    libspring-java tomcat9 netty jetty9 error-prone-java zookeeper commons-httpclient \
    libpdfbox2-java libhibernate-validator-java maven-resolver plexus-utils2 libjdom2-java \
    google-auto-service-java testng libcommons-jxpath-java picocli jcommander cglib \
    libreflections-java libhamcrest-java; do
    # Of some packages the mirror lacks the packaging; the original is what counts.
    "${apt[@]}" source --download-only --tar-only "$package" || true
done
sha256sum --check "$recipes/sha256sums"
# The sources of each archive lie in its one folder, or in several.
declare -A root
for archive in *.orig.tar.*; do
    name=${archive%%_*}
    mkdir -p "sources/$name"
    tar -xf "$archive" -C "sources/$name" --wildcards '*.java'
    inside=("sources/$name"/*)
    root[$name]="sources/$name"
    if [ ${#inside[@]} = 1 ]; then root[$name]=${inside[0]}; fi
done

lang=${root[libcommons-lang3-java]}
foretype train "$lang" --include '*.java' \
    --out lang --language java --base none --config "$recipes/1-lang.toml"
foretype train "${root[libcommons-codec-java]}" "${root[libcommons-collections4-java]}" \
    "${root[libcommons-compress-java]}" "${root[commons-exec]}" "${root[libcommons-net-java]}" \
    "${root[commons-pool2]}" "${root[guava-libraries]}/guava" --include '*.java' \
    --out broad --language java --base lang/model --config "$recipes/2-broad.toml"
foretype train "$lang" --include '*.java' \
    --out again --language java --base broad/model --config "$recipes/3-lang.toml"
foretype train "$lang" "${root[jackson-core]}" "${root[jackson-databind]}" \
    "${root[mockito]}" --include '*.java' \
    --out static --language java --base again/model --config "$recipes/4-java.toml"
foretype train "$lang" "${root[libcommons-jexl3-java]}" "${root[libcommons-logging-java]}" \
    "${root[commons-email]}" "${root[libcommons-dbcp-java]}" "${root[libcommons-digester-java]}" \
    "${root[commons-vfs]}" "${root[commons-configuration]}" "${root[libjoda-time-java]}" \
    "${root[httpcomponents-client]}" "${root[httpcomponents-core]}" "${root[libslf4j-java]}" \
    "${root[libtruth-java]}" "${root[javapoet]}" "${root[libokhttp-java]}" "${root[mina2]}" \
    "${root[maven]}" "${root[ant]}" "${root[apache-log4j2]}" --include '*.java' \
    --out memory --language java --base static/model --config "$recipes/5-memory.toml"
spring=${root[libspring-java]} tomcat=${root[tomcat9]}/java/org/apache
netty=${root[netty]} jetty=${root[jetty9]}
foretype train "$lang" "$spring"/spring-{core,beans,context,expression,jdbc,messaging} \
    "$tomcat"/{catalina,tomcat} "$netty"/{buffer,common,transport,handler,codec,codec-http} \
    "$jetty"/jetty-{server,util,client,io} "${root[error-prone-java]}" "${root[zookeeper]}" \
    "${root[commons-httpclient]}" "${root[libpdfbox2-java]}" \
    "${root[libhibernate-validator-java]}" "${root[maven-resolver]}" "${root[plexus-utils2]}" \
    "${root[libjdom2-java]}" "${root[google-auto-service-java]}" "${root[testng]}" \
    "${root[libcommons-jxpath-java]}" "${root[picocli]}" "${root[jcommander]}" "${root[cglib]}" \
    "${root[libreflections-java]}" "${root[libhamcrest-java]}" --include '*.java' \
    --out projects --language java --base memory/model --config "$recipes/6-projects.toml"
# Seven projects stay apart, for validation and as examples. Step 7 reads a corpus of its own, in
# which a project may have 8 % of all characters.
kept_apart=({bnd,derby,groovy,hikaricp,joptsimple,lucene8,openjpa})
fifty=(
    libcommons-lang3-java libcommons-codec-java libcommons-collections4-java
    libcommons-compress-java commons-exec libcommons-net-java commons-pool2
    libcommons-logging-java commons-email libcommons-dbcp-java libcommons-digester-java
    commons-vfs commons-configuration libcommons-jexl3-java libcommons-jxpath-java commons-jci
    commons-math3 guava-libraries libjoda-time-java httpcomponents-core mockito jackson-core
    modello plexus-containers plexus-archiver felix-framework felix-utils felix-gogo-runtime
    apache-log4j2 libwoodstox-java libxerces2-java avro-java derby gradle openjpa groovy bnd
    bouncycastle closure-compiler android-platform-frameworks-base libpicocontainer-java jmock2
    jline3 joptsimple hikaricp args4j opencsv httpcomponents-client maven lucene8
)
python "$recipes/corpus.py" fifty --cache . --largest-share 0.08 \
    --only "$(IFS=,; echo "${fifty[*]}")"
python "$recipes/corpus.py" corpus --cache .
python "$recipes/corpus.py" more --cache . --manifest "$recipes/more.toml"
python "$recipes/corpus.py" both --cache . --manifest "$recipes"/{corpus,more}.toml \
    --largest-share 0.00625
mkdir apart
mv "${kept_apart[@]/#/corpus/}" apart
rm -r "${kept_apart[@]/#/fifty/}" "${kept_apart[@]/#/both/}" both/libcommons-lang3-java
foretype train fifty/*/ --include '*.java' \
    --out fifty-read --language java --base projects/model --config "$recipes/7-corpus.toml"
foretype train corpus/*/ --include '*.java' \
    --out corpus-read --language java --base fifty-read/model --config "$recipes/8-corpus.toml"
foretype train corpus/*/ --include '*.java' \
    --out wider --language java --base corpus-read/model --config "$recipes/9-wider.toml"
for step in 10-more 11-both; do
    cat "$recipes/$step.toml" "$recipes/sources.toml" >"$step.toml"
done
foretype train "$lang" more/*/ --include '*.java' \
    --out java --language java --base wider/model --config 10-more.toml
# As suits Commons IO and the five projects of the pointer best, of 0, 0.2, 0.4, 0.6 and 1.
python "$recipes/mixed.py" java/model wider/model "$lang" more/*/ --share 0.4 --out mixed
foretype train "$lang" both/*/ --include '*.java' \
    --out both-read --language java --base mixed --config 11-both.toml
# Chosen in the same way.
python "$recipes/mixed.py" both-read/model mixed "$lang" both/*/ --share 0.2 --out mixed-again
foretype train "$lang" --include '*.java' \
    --out lang-again --language java --base mixed-again --config "$recipes/12-lang.toml"
# What the four projects lose by it Commons IO gains; of 0, 0.25 and 0.4.
python "$recipes/mixed.py" mixed-again lang-again/model "$lang" both/*/ --share 0.25 --out all-read
# Both once more, in another order and of fewer passes. The card says what was tried.
sed 's/^seed = .*/seed = 13/; s/^epochs = .*/epochs = 0.4/' 11-both.toml >13-both.toml
sed 's/^seed = .*/seed = 14/' "$recipes/12-lang.toml" >14-lang.toml
foretype train "$lang" both/*/ --include '*.java' \
    --out both-again --language java --base all-read --config 13-both.toml
foretype train "$lang" --include '*.java' \
    --out lang-at-last --language java --base both-again/model --config 14-lang.toml
python "$recipes/mixed.py" both-again/model all-read "$lang" both/*/ --share 0.3 --out mixed-once-more
python "$recipes/mixed.py" mixed-once-more lang-at-last/model "$lang" both/*/ --share 0.45 --out last
python "$recipes/pointer.py" last apart/{bnd,derby,groovy,lucene8,openjpa} \
    --out pointing --characters 6000000
