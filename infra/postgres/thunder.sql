-- Run once, when the data is made: the role that owns the database and is no superuser, as in production.
\getenv password POSTGRES_PASSWORD
CREATE ROLE thunder LOGIN CREATEDB PASSWORD :'password';
CREATE DATABASE thunder OWNER thunder;
