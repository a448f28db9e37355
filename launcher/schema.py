"""The tables of the ledger's file; a newer schema only adds tables, so that an older file is brought up to it."""

SCHEMA = 4
TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at TEXT NOT NULL, budget_usd TEXT, deadline_at TEXT,
    out_dir TEXT NOT NULL, state TEXT NOT NULL, state_at TEXT NOT NULL, outcome TEXT, ending TEXT,
    spent_usd TEXT NOT NULL DEFAULT '0', request TEXT NOT NULL, plan TEXT NOT NULL, receipt TEXT,
    stop_asked TEXT, checkpoint TEXT);
CREATE TABLE IF NOT EXISTS attempts (
    run TEXT NOT NULL REFERENCES runs(id), number INTEGER NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL,
    zone TEXT NOT NULL, instance_type TEXT NOT NULL, market TEXT NOT NULL, instance_id TEXT, started_at TEXT NOT NULL,
    value TEXT NOT NULL, instance TEXT, gone_at TEXT, PRIMARY KEY (run, number));
CREATE TABLE IF NOT EXISTS intents (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL, nonce TEXT NOT NULL,
    parameters_sha256 TEXT NOT NULL, deadline TEXT NOT NULL, cap_usd_per_hour TEXT NOT NULL,
    opened_at TEXT NOT NULL, closed_at TEXT, answer TEXT);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, at TEXT NOT NULL, event TEXT NOT NULL, document TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refusals (pool TEXT PRIMARY KEY, until TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS prices (
    offer TEXT NOT NULL, usd_per_hour TEXT NOT NULL, seen_at TEXT NOT NULL, source TEXT NOT NULL,
    PRIMARY KEY (offer, seen_at));
CREATE TABLE IF NOT EXISTS offers (
    id TEXT PRIMARY KEY, provider TEXT NOT NULL, offer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sightings (
    provider TEXT NOT NULL, region TEXT NOT NULL, asked_at TEXT NOT NULL, seen_at TEXT, machines TEXT,
    PRIMARY KEY (provider, region));
CREATE TABLE IF NOT EXISTS phases (
    run TEXT NOT NULL, attempt INTEGER NOT NULL, name TEXT NOT NULL, planned_seconds REAL, actual_seconds REAL,
    PRIMARY KEY (run, attempt, name));
CREATE TABLE IF NOT EXISTS attempt_records (
    run TEXT NOT NULL, attempt INTEGER NOT NULL, had_machine INTEGER NOT NULL, finished INTEGER NOT NULL,
    started_at TEXT NOT NULL, provider TEXT NOT NULL, instance_type TEXT NOT NULL, market TEXT NOT NULL,
    gpu TEXT NOT NULL, model TEXT NOT NULL, parameters INTEGER NOT NULL, method TEXT NOT NULL,
    max_length INTEGER NOT NULL, micro_batch INTEGER NOT NULL,
    planned_low_usd TEXT NOT NULL, planned_usd TEXT NOT NULL, planned_high_usd TEXT NOT NULL, billed_usd TEXT NOT NULL,
    planned_low_seconds REAL NOT NULL, planned_seconds REAL NOT NULL, planned_high_seconds REAL NOT NULL,
    actual_seconds REAL NOT NULL,
    planned_low_tokens_per_second REAL NOT NULL, planned_tokens_per_second REAL NOT NULL,
    planned_high_tokens_per_second REAL NOT NULL, tokens_per_second REAL,
    planned_vram_gib REAL NOT NULL, vram_gib REAL,
    steps INTEGER, first_step INTEGER, last_step INTEGER, step_seconds REAL,
    offer TEXT NOT NULL, workload TEXT NOT NULL, PRIMARY KEY (run, attempt));
CREATE TABLE IF NOT EXISTS phase_records (
    run TEXT NOT NULL, attempt INTEGER NOT NULL, name TEXT NOT NULL,
    planned_low_seconds REAL NOT NULL, planned_seconds REAL NOT NULL, planned_high_seconds REAL NOT NULL,
    planned_usd TEXT NOT NULL, factor REAL NOT NULL, actual_seconds REAL, whole_seconds REAL,
    PRIMARY KEY (run, attempt, name));
CREATE TABLE IF NOT EXISTS resumptions (
    run TEXT NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL, attempts INTEGER NOT NULL, event INTEGER NOT NULL,
    before TEXT NOT NULL, PRIMARY KEY (run, number));
"""
"""`phases` is what version 2 kept instead of the last two tables. Nothing reads it any more; a program of that version
that still carries a run writes it, and what it kept before stays."""
