# A stand-in for Apache Kafka's official image where no registry is reached, for scripts/check_containers.sh only: the same
# release from its published jars (deploy/kafka/pom.xml; they are in libs/ of the build context), taking the same variables,
# user and directories as far as docker-compose.yml uses them.
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
