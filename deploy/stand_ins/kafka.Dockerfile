# Replaces Apache Kafka's official image for scripts/check_containers.sh when no registry can be reached. It runs the same release from
# the published jars (deploy/kafka/pom.xml; in libs/ of the build context), and supports the variables, user and directories that
# docker-compose.yml uses.
FROM docker.io/library/debian:bookworm-slim
LABEL stand-in="yes"
RUN apt-get update \
  && apt-get install -y --no-install-recommends default-jre-headless \
  && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --user-group --create-home --shell /bin/bash appuser \
  && install -d -o appuser -g appuser /opt/kafka/config /var/lib/kafka/data
COPY libs /opt/kafka/libs
COPY log4j2.properties /opt/kafka/
COPY --chmod=0755 kafka.sh /usr/local/bin/kafka
USER appuser
VOLUME /var/lib/kafka/data
EXPOSE 9092
CMD ["kafka"]
