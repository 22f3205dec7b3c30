"""Tests get a PostgreSQL database of their own."""

import sqlalchemy as sa

from tests.support.postgresql import PostgresqlCluster


def test_a_database_is_empty_and_takes_tables(postgresql_url: str) -> None:
    """SQLAlchemy connects by the URL, finds no tables, makes one and reads back what it wrote."""
    engine = sa.create_engine(postgresql_url)
    assert sa.inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE dishes (name text)"))
        connection.execute(sa.text("INSERT INTO dishes VALUES ('борщ')"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT name FROM dishes")).scalar_one() == "борщ"


def test_databases_are_apart(postgresql_cluster: PostgresqlCluster) -> None:
    """Two databases do not share tables, and one can be dropped while somebody is connected to it."""
    first, second = postgresql_cluster.make_database(), postgresql_cluster.make_database()
    with sa.create_engine(first).connect() as connection:
        connection.execute(sa.text("CREATE TABLE dishes (name text)"))
        connection.commit()
        assert sa.inspect(sa.create_engine(second)).get_table_names() == []
        postgresql_cluster.drop_database(first)
        postgresql_cluster.drop_database(second)
