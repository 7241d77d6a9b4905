FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --no-compile -r requirements.txt
COPY pyproject.toml ./
COPY rig ./rig
COPY analysis ./analysis
COPY endpoints ./endpoints
COPY locustfiles ./locustfiles
COPY samples ./samples
RUN mkdir runs && chmod 777 runs
USER nobody
CMD ["locust", "--locustfile=locustfiles/burst.py"]
