# Installed in the larger image, which has strip. What no run reads stays behind there: pip, debug symbols, the packages' own tests and
# sources, botocore's services but S3, FastAPI's client for its own cloud, and the
# video service's encoder and voices (125 MB).
FROM python:3.11-bookworm AS install
COPY requirements.txt ./
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --no-compile -r requirements.txt \
 && python -m pip --python /venv/bin/python uninstall --yes fastapi-cloud-cli sentry-sdk rignore fastar av espeakng-loader nvidia-ml-py \
 && cd /venv/lib/python3.11/site-packages \
 && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find . -type f -regex '.*\.\(pyi\|pyx\|pxd\|pxi\|h\|c\|cc\|cpp\)' -delete \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts -exec rm -rf {} + \
 && find . -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +

FROM python:3.11-slim-bookworm
COPY --from=install /venv /venv
# /tmp is all that can be written to: also by Python, so that the second worker of an emulator finds the first one's modules compiled.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONPYCACHEPREFIX=/tmp/bytecode HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /app
COPY coldburst ./coldburst
COPY analysis ./analysis
COPY locustfiles ./locustfiles
COPY samples ./samples
RUN mkdir -m 777 runs
USER nobody
CMD ["locust", "--locustfile=locustfiles/burst.py", "--web-host=0.0.0.0"]
