DROP TABLE program_rewards;
DROP TABLE program_assets;
DROP TABLE programs;
