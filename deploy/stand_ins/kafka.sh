#!/usr/bin/env bash
# Translates KAFKA_SOME_SETTING to some.setting, as Kafka's official image does, formats the data directory once, and starts Kafka.
set -euo pipefail

readonly properties=/opt/kafka/config/server.properties
java() { command java -cp '/opt/kafka/libs/*' -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties "$@"; }

while IFS='=' read -r name value; do
  case $name in
    KAFKA_HEAP_OPTS | KAFKA_OPTS) ;;
    KAFKA_*) name=${name#KAFKA_} name=${name,,} && printf '%s=%s\n' "${name//_/.}" "$value" ;;
  esac
done < <(env) >"$properties"
[ -e "${KAFKA_LOG_DIRS:?}/meta.properties" ] || java kafka.tools.StorageTool format -t "${CLUSTER_ID:?}" -c "$properties"
read -ra heap <<<"${KAFKA_HEAP_OPTS:-}"
exec java "${heap[@]}" -cp '/opt/kafka/libs/*' -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties kafka.Kafka "$properties"
