"""Half precision: conversion of a graph, what must stay fp32, and the search for the blocks that must."""
