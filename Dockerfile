FROM python:3.11-slim-bookworm
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY pyproject.toml ./
COPY rig ./rig
COPY endpoints ./endpoints
USER nobody
CMD ["python", "-m", "endpoints.transcriber", "--host", "0.0.0.0", "--port", "8000"]
