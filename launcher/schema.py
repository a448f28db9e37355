"""The tables of the ledger's file; a newer schema only adds tables, so that an older file is brought up to it."""

SCHEMA = 2
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
"""
